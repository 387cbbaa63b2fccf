INSERT INTO raw_users SELECT 'users.csv', line, text, reason, "user" FROM users_file;
SET VARIABLE lists_users = true;
