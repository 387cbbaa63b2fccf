-- The texts are read only now, of the items that are kept; where no file has them, the id must do.
CREATE TABLE kept_items AS FROM items_rows SEMI JOIN item_ids ON line = item_no;
CREATE OR REPLACE VIEW items_rows AS FROM kept_items;

CREATE TABLE items AS
SELECT n.item_id, n.raw_id, r.* EXCLUDE (line, reason, item)
    REPLACE (coalesce(nullif(r.title, ''), CASE WHEN getvariable('lists_items') THEN '' ELSE n.raw_id END) AS title)
FROM item_ids AS n LEFT JOIN raw_items AS r ON n.item_no = r.line AND getvariable('lists_items');
