-- Statistics by part: a split, or `all`. Variables: interactions, items, users (Parquet files).
-- Escape glob characters in paths.
CREATE MACRO literal(path) AS regexp_replace(path, '[*?\[]', '[\0]', 'g');
CREATE VIEW interactions AS FROM read_parquet(literal(getvariable('interactions')), hive_partitioning = false);

CREATE TABLE by_user AS
SELECT user_id AS id, count(*) AS n, count(*) FILTER (split = 'train') AS train,
    count(*) FILTER (split = 'valid') AS valid, count(*) FILTER (split = 'test') AS test,
    count(*) FILTER (label = 1) AS likes, count(*) FILTER (label = 1 AND split = 'train') AS train_likes,
    count(*) FILTER (label = 1 AND split = 'valid') AS valid_likes,
    count(*) FILTER (label = 1 AND split = 'test') AS test_likes
FROM interactions GROUP BY user_id;

CREATE TABLE by_item AS
SELECT item_id AS id, count(*) AS n, count(*) FILTER (split = 'train') AS train,
    count(*) FILTER (split = 'valid') AS valid, count(*) FILTER (split = 'test') AS test
FROM interactions GROUP BY item_id;

-- Number of users, or items, with n rows in a part. New: not in train.
CREATE TABLE sizes AS
WITH owners AS (
    SELECT 'user' AS kind, train = 0 AS new, unnest(['all', 'train', 'valid', 'test']) AS part,
        unnest([n, train, valid, test]) AS n, unnest([likes, train_likes, valid_likes, test_likes]) AS likes
    FROM by_user
    UNION ALL
    SELECT 'item', train = 0, unnest(['all', 'train', 'valid', 'test']), unnest([n, train, valid, test]), NULL
    FROM by_item
)
SELECT kind, part, n, count(*) AS owners, count(*) FILTER (new) AS new, sum(likes)::BIGINT AS likes,
    count(*) FILTER (likes IN (0, n)) AS one_class
FROM owners WHERE n > 0 GROUP BY kind, part, n;

CREATE TABLE spreads AS
WITH ordered AS (
    SELECT *, sum(owners) OVER (PARTITION BY kind, part ORDER BY n) AS upto,
        sum(owners) OVER (PARTITION BY kind, part) AS total
    FROM sizes
)
SELECT kind, part, sum(n * owners)::BIGINT AS rows, sum(owners)::BIGINT AS owners, min(n) AS low, max(n) AS high,
    (min(n) FILTER (upto >= (total + 1) // 2) + min(n) FILTER (upto >= total // 2 + 1)) / 2 AS median,
    sum(likes)::BIGINT AS positives, sum(one_class)::BIGINT AS one_class,
    coalesce(sum(owners) FILTER (n = 1), 0)::BIGINT AS one_row, sum(n * new)::BIGINT AS new_rows
FROM ordered GROUP BY kind, part;

-- Rows that share their timestamp with another row of the same user, in any split: their order is the file's.
CREATE TABLE ties AS
WITH moments AS (
    SELECT count(*) AS n, count(*) FILTER (split = 'train') AS train,
        count(*) FILTER (split = 'valid') AS valid, count(*) FILTER (split = 'test') AS test
    FROM interactions GROUP BY user_id, timestamp HAVING count(*) > 1
)
SELECT unnest(['all', 'train', 'valid', 'test']) AS part,
    unnest([sum(n), sum(train), sum(valid), sum(test)])::BIGINT AS tied
FROM moments;

CREATE TABLE neither AS
SELECT split AS part, count(*) AS new_both
FROM interactions
SEMI JOIN (SELECT id FROM by_user WHERE train = 0) AS u ON user_id = u.id
SEMI JOIN (SELECT id FROM by_item WHERE train = 0) AS i ON item_id = i.id
GROUP BY split;

CREATE TABLE spans AS
SELECT coalesce(split, 'all') AS part, epoch_ns(min(timestamp)) AS first, epoch_ns(max(timestamp)) AS last,
    count(*) FILTER (not_cold) AS not_cold
FROM interactions GROUP BY ROLLUP (split);

CREATE TABLE parts AS
SELECT part, u.rows, u.owners AS users, i.owners AS items, u.positives, u.one_class, u.one_row,
    u.low AS user_min, u.median AS user_median, u.high AS user_max,
    i.low AS item_min, i.median AS item_median, i.high AS item_max,
    first, last, not_cold, u.new_rows AS new_user, i.new_rows AS new_item,
    coalesce(new_both, 0) AS new_both, coalesce(tied, 0) AS tied
FROM (FROM spreads WHERE kind = 'user') AS u JOIN (FROM spreads WHERE kind = 'item') AS i USING (part)
JOIN spans USING (part) LEFT JOIN ties USING (part) LEFT JOIN neither USING (part);

-- Listed items and users, some of which may have no rows.
CREATE TABLE lists AS
SELECT
    (SELECT count(*) FROM read_parquet(literal(getvariable('items')), hive_partitioning = false)) AS items,
    (SELECT count(*) FROM read_parquet(literal(getvariable('items')), hive_partitioning = false)
        WHERE NOT regexp_matches(coalesce(title, ''), '\S')) AS items_without_title,
    (SELECT count(*) FROM read_parquet(literal(getvariable('items')), hive_partitioning = false) ANTI JOIN by_item ON item_id = id)
        AS items_without_rows,
    (SELECT count(*) FROM read_parquet(literal(getvariable('users')), hive_partitioning = false)) AS users,
    (SELECT count(*) FROM read_parquet(literal(getvariable('users')), hive_partitioning = false) ANTI JOIN by_user ON user_id = id)
        AS users_without_rows;
