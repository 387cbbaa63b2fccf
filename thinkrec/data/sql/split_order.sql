-- One order over all users' rows; the last are held out, first valid, then test. The order is by time, ties in
-- file order; or random, from an MD5 hash of row number and seed (the same in every version of DuckDB). Rows
-- before `held_from` are all train.
-- Only rows of the days (or hash ranges) in which valid and test begin are sorted; the others are counted.
CREATE MACRO split_key(timestamp, line) AS CASE
    WHEN getvariable('seed') IS NULL THEN timestamp::UBIGINT
    ELSE md5_number_lower(format('{}:{}', getvariable('seed'), line))
END;
CREATE MACRO split_part(key) AS
    key // CASE WHEN getvariable('seed') IS NULL THEN 86400000000000::UBIGINT ELSE 4503599627370496::UBIGINT END;

CREATE TABLE parts_of_order AS
SELECT part, n, sum(n) OVER (ORDER BY part)::BIGINT - n AS before
FROM (
    SELECT split_part(split_key(timestamp, line)) AS part, count(*) AS n
    FROM active WHERE timestamp >= getvariable('held_from') GROUP BY part
);

-- Number of rows before each split.
CREATE TABLE borders AS
WITH counted AS (
    SELECT coalesce(sum(n), 0)::BIGINT AS total, round(total * getvariable('held_share'))::BIGINT AS held FROM parts_of_order
)
SELECT 'valid' AS split, total - held AS place FROM counted
UNION ALL SELECT 'test', total - held + floor(held * getvariable('valid_part'))::BIGINT FROM counted;

-- Key and line of the first row of each split, if it has one.
CREATE TABLE firsts AS
WITH near AS (
    SELECT split_key(a.timestamp, a.line) AS key, a.line, p.part, p.before
    FROM active AS a JOIN parts_of_order AS p ON split_part(split_key(a.timestamp, a.line)) = p.part
    WHERE a.timestamp >= getvariable('held_from') AND p.part IN (
        SELECT q.part FROM parts_of_order AS q JOIN borders AS b ON b.place >= q.before AND b.place < q.before + q.n
    )
),
placed AS (SELECT key, line, before + row_number() OVER (PARTITION BY part ORDER BY key, line) - 1 AS place FROM near)
SELECT b.split, n.key, n.line FROM borders AS b JOIN placed AS n USING (place);

CREATE TABLE kept AS
WITH keyed AS (SELECT *, split_key(timestamp, line) AS key FROM active)
SELECT a.* EXCLUDE (key), CASE
    WHEN a.timestamp < getvariable('held_from') THEN 'train'
    WHEN t.key IS NOT NULL AND (a.key > t.key OR (a.key = t.key AND a.line >= t.line)) THEN 'test'
    WHEN v.key IS NOT NULL AND (a.key > v.key OR (a.key = v.key AND a.line >= v.line)) THEN 'valid'
    ELSE 'train'
END AS split
FROM keyed AS a
LEFT JOIN (FROM firsts WHERE split = 'valid') AS v ON true
LEFT JOIN (FROM firsts WHERE split = 'test') AS t ON true;
DROP TABLE parts_of_order;
