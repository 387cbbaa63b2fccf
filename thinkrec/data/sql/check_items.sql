-- Items with a usable row: the first of each, or the last if `last_item`. Its line becomes the item_no.
CREATE TABLE item_rows AS
SELECT line, item, CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN coalesce(item, '') = '' THEN 'empty item id'
END AS reason
FROM raw_items;

CREATE TABLE known_items AS
SELECT item, CASE WHEN getvariable('last_item') THEN max(line) ELSE min(line) END AS item_no
FROM item_rows WHERE reason IS NULL GROUP BY item;

INSERT INTO given SELECT 'items', count(*) FROM item_rows;
INSERT INTO dropped
SELECT 'items', reason, false, count(*), min(line, getvariable('cap'))
FROM (
    SELECT r.line, CASE WHEN r.reason IS NOT NULL THEN r.reason WHEN k.item_no <> r.line THEN 'duplicate' END AS reason
    FROM item_rows AS r LEFT JOIN known_items AS k ON r.reason IS NULL AND r.item = k.item
)
WHERE reason IS NOT NULL GROUP BY reason;
-- Items with unusable rows only: their ratings are lost for that reason, not for an unknown id.
CREATE TABLE lost_items AS
SELECT item, arg_min(reason, line) AS reason, min(line) AS line
FROM item_rows ANTI JOIN known_items USING (item)
WHERE reason IS NOT NULL AND item <> '' AND NOT getvariable('lax_items') GROUP BY item;
DROP TABLE item_rows;

CREATE TABLE checked_users AS
SELECT line, "user", CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN coalesce("user", '') = '' THEN 'empty user id'
    WHEN row_number() OVER (PARTITION BY "user", reason IS NULL ORDER BY line) > 1 THEN 'duplicate'
END AS reason
FROM raw_users;
INSERT INTO given SELECT 'users', count(*) FROM checked_users HAVING count(*) > 0;
INSERT INTO given SELECT 'plots', count(*) FROM raw_others HAVING count(*) > 0;
INSERT INTO dropped
SELECT kind, reason, false, count(*), min(line, getvariable('cap'))
FROM (SELECT 'users' AS kind, line, reason FROM checked_users UNION ALL SELECT 'plots', line, reason FROM raw_others)
WHERE reason IS NOT NULL GROUP BY kind, reason;
