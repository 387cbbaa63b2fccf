-- The texts are read only now, of the items that are kept.
CREATE TABLE kept_items AS FROM items_rows SEMI JOIN item_ids ON line = item_no;
CREATE OR REPLACE VIEW items_rows AS FROM kept_items;

CREATE TABLE items AS
SELECT n.item_id, n.raw_id, r.* EXCLUDE (line, reason, item)
FROM item_ids AS n JOIN raw_items AS r ON n.item_no = r.line;
