CREATE TABLE raw_items AS
SELECT 'items.csv' AS file, line, text, reason, item, title, description, []::VARCHAR[] AS categories
FROM items_file;
