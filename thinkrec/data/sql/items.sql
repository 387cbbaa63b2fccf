-- Read the texts of the kept items. Small row groups let all threads clean texts.
ATTACH ':memory:' AS texts (ROW_GROUP_SIZE 2048);
CREATE TABLE texts.kept_items AS FROM items_rows SEMI JOIN item_ids ON line = item_no;
CREATE OR REPLACE VIEW items_rows AS FROM texts.kept_items;

CREATE TABLE items AS
SELECT n.item_id, n.raw_id, r.* EXCLUDE (line, reason, item)
FROM item_ids AS n JOIN raw_items AS r ON n.item_no = r.line;
