-- Final tables of the kept rows: dense ids from 1 in the raw ids' natural order (shorter first, so that 9 comes
-- before 10), positions in each user's sequence, warm rows.
DROP TABLE active;

CREATE TABLE user_ids AS
WITH counted AS (SELECT user_no, count(*) AS n, bool_or(split = 'train') AS warm FROM kept GROUP BY user_no),
numbered AS (
    SELECT row_number() OVER (ORDER BY length("user"), "user")::INTEGER AS user_id, "user" AS raw_id, user_no, n, warm
    FROM persons JOIN counted USING (user_no)
)
-- `start`: number of rows of all preceding users.
SELECT user_id, raw_id, user_no, warm, sum(n) OVER (ORDER BY user_id)::BIGINT - n AS start FROM numbered;

CREATE TABLE item_ids AS
SELECT row_number() OVER (ORDER BY length(item), item)::INTEGER AS item_id, item AS raw_id, item_no, warm
FROM known_items JOIN (SELECT item_no, bool_or(split = 'train') AS warm FROM kept GROUP BY item_no) USING (item_no);

-- Sort once, with narrow rows; a user's first row follows those of all preceding users.
CREATE TABLE sorted AS
SELECT u.user_id, u.start, i.item_id, (k.rating > getvariable('positive_above'))::TINYINT AS label,
    k.rating::FLOAT AS rating, k.timestamp, k.split, u.warm AND i.warm AS not_cold
FROM kept AS k JOIN user_ids AS u USING (user_no) JOIN item_ids AS i USING (item_no)
ORDER BY u.user_id, k.timestamp, k.line;
DROP TABLE kept;

CREATE TABLE interactions AS
SELECT user_id, item_id, label, rating, timestamp, (row_number() OVER () - 1 - start)::INTEGER AS position,
    split, not_cold
FROM sorted;
DROP TABLE sorted;
