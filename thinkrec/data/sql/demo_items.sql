CREATE VIEW raw_items AS
SELECT line, reason, item, title, description, []::VARCHAR[] AS categories FROM items_rows;
