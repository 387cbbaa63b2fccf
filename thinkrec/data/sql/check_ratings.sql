-- All ratings with their values as numbers, and the reason why a row can't be used. DuckDB keeps the order in
-- which it reads them, so that a row's place in this table is its number in the file; to number the rows while
-- they are read would take away its threads.
-- Seconds from 1990 up to 2100 (no rating on the web is older); the same span times 1,000 is in milliseconds.
CREATE TABLE rated AS
WITH typed AS (
    SELECT reason, "user", item,
        TRY_CAST(rating AS DOUBLE) AS rating, TRY_CAST(floor(TRY_CAST(timestamp AS DOUBLE)) AS BIGINT) AS timestamp
    FROM raw_ratings
)
SELECT * REPLACE (CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN coalesce("user", '') = '' THEN 'empty user id'
    WHEN coalesce(item, '') = '' THEN 'empty item id'
    WHEN rating IS NULL OR isnan(rating) THEN getvariable('no_rating')
    WHEN rating NOT BETWEEN getvariable('lowest') AND getvariable('highest')
        THEN format('rating outside {} to {}', getvariable('lowest'), getvariable('highest'))
    WHEN NOT rating BETWEEN -3.4e38 AND 3.4e38 THEN 'rating is no finite number'
    WHEN timestamp IS NULL THEN getvariable('no_time')
    WHEN timestamp BETWEEN 631152000000 AND 4102444800000 THEN 'timestamp in milliseconds, not seconds'
    WHEN timestamp < 631152000 THEN 'timestamp before 1990'
    WHEN timestamp >= 4102444800 THEN 'timestamp after 2099'
END AS reason)
FROM typed;
INSERT INTO given SELECT 'ratings', count(*) FROM rated;
INSERT INTO dropped
SELECT 'ratings', reason, false, count(*), min(rowid + 1, getvariable('cap'))
FROM rated WHERE reason IS NOT NULL GROUP BY reason;
