INSERT INTO raw_users SELECT line, reason, "user" FROM users_rows;
SET VARIABLE lists_users = true;
