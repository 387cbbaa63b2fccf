-- Kept rows to the tables that all stages read: dense ids from 1 in the raw ids' natural order
-- (shorter first, so that 9 comes before 10), positions in each user's own time line, warm rows.
DROP TABLE active;

CREATE TABLE user_ids AS
SELECT row_number() OVER (ORDER BY length("user"), "user")::INTEGER AS user_id, "user" AS raw_id, user_no
FROM persons SEMI JOIN kept USING (user_no);

CREATE TABLE item_ids AS
SELECT row_number() OVER (ORDER BY length(item), item)::INTEGER AS item_id, item AS raw_id, item_no
FROM known_items SEMI JOIN kept USING (item_no);

CREATE TABLE interactions AS
WITH warm_users AS (SELECT DISTINCT user_no FROM kept WHERE split = 'train'),
warm_items AS (SELECT DISTINCT item_no FROM kept WHERE split = 'train')
SELECT u.user_id, i.item_id, (k.rating > getvariable('positive_above'))::TINYINT AS label,
    k.rating::FLOAT AS rating, k.timestamp,
    (row_number() OVER (PARTITION BY u.user_id ORDER BY k.timestamp, k.line) - 1)::INTEGER AS position,
    k.split, wu.user_no IS NOT NULL AND wi.item_no IS NOT NULL AS not_cold
FROM kept AS k
JOIN user_ids AS u ON k.user_no = u.user_no
JOIN item_ids AS i ON k.item_no = i.item_no
LEFT JOIN warm_users AS wu ON k.user_no = wu.user_no
LEFT JOIN warm_items AS wi ON k.item_no = wi.item_no;
DROP TABLE kept;
