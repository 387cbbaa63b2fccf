-- Kept rows to the tables that all stages read: dense ids from 1 in the raw ids' natural order
-- (shorter first, so that 9 comes before 10), positions in each user's own time line, warm rows.
CREATE TABLE users AS
SELECT row_number() OVER (ORDER BY length("user"), "user")::INTEGER AS user_id, "user" AS raw_id
FROM (SELECT DISTINCT "user" FROM kept);

CREATE TABLE items AS
SELECT
    row_number() OVER (ORDER BY length(i.item), i.item)::INTEGER AS item_id, i.item AS raw_id,
    i.* EXCLUDE (file, line, text, reason, item)
FROM checked_items AS i SEMI JOIN kept USING (item)
WHERE i.reason IS NULL;

CREATE TABLE interactions AS
WITH numbered AS (
    SELECT u.user_id, i.item_id, (k.rating > getvariable('positive_above'))::TINYINT AS label,
        k.rating::FLOAT AS rating, k.timestamp,
        (row_number() OVER (PARTITION BY u.user_id ORDER BY k.timestamp, k.line) - 1)::INTEGER AS position,
        k.split
    FROM kept AS k
    JOIN users AS u ON k."user" = u.raw_id
    JOIN items AS i ON k.item = i.raw_id
)
SELECT
    *,
    bool_or(split = 'train') OVER (PARTITION BY user_id)
        AND bool_or(split = 'train') OVER (PARTITION BY item_id) AS not_cold
FROM numbered;

CREATE TABLE truth AS
SELECT x.user_id, x.item_id, x.position, t.probability
FROM checked_truth AS t
JOIN users AS u ON t."user" = u.raw_id
JOIN items AS i ON t.item = i.raw_id
JOIN interactions AS x ON x.user_id = u.user_id AND x.item_id = i.item_id AND x.timestamp = t.timestamp
WHERE t.reason IS NULL;
