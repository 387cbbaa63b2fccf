-- Raw rows to usable rows and the reason for every other one. Nothing here knows a source.
CREATE TABLE checked_items AS
SELECT * REPLACE (CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN coalesce(item, '') = '' THEN 'empty item id'
    WHEN row_number() OVER (PARTITION BY item, reason IS NULL ORDER BY line) > 1 THEN 'duplicate'
END AS reason)
FROM raw_items;

CREATE TABLE checked_users AS
SELECT * REPLACE (CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN coalesce("user", '') = '' THEN 'empty user id'
    WHEN row_number() OVER (PARTITION BY "user", reason IS NULL ORDER BY line) > 1 THEN 'duplicate'
END AS reason)
FROM raw_users;

-- Seconds from 1990 up to 2100 (no rating on the web is older); the same span times 1,000 is in milliseconds.
CREATE TABLE checked_ratings AS
WITH typed AS (
    SELECT file, line, reason, "user", item,
        TRY_CAST(rating AS DOUBLE) AS rating, TRY_CAST(timestamp AS BIGINT) AS timestamp
    FROM raw_ratings
)
SELECT * REPLACE (CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN coalesce("user", '') = '' THEN 'empty user id'
    WHEN coalesce(item, '') = '' THEN 'empty item id'
    WHEN rating IS NULL OR isnan(rating) THEN 'rating is no number'
    WHEN rating NOT BETWEEN getvariable('lowest') AND getvariable('highest')
        THEN format('rating outside {} to {}', getvariable('lowest'), getvariable('highest'))
    WHEN timestamp IS NULL THEN 'timestamp is no number of seconds'
    WHEN timestamp BETWEEN 631152000000 AND 4102444800000 THEN 'timestamp in milliseconds, not seconds'
    WHEN timestamp < 631152000 THEN 'timestamp before 1990'
    WHEN timestamp >= 4102444800 THEN 'timestamp after 2099'
END AS reason)
FROM typed;

UPDATE checked_ratings SET reason = 'unknown item'
WHERE reason IS NULL AND item NOT IN (SELECT item FROM checked_items WHERE reason IS NULL);

UPDATE checked_ratings SET reason = 'unknown user'
WHERE reason IS NULL AND getvariable('lists_users')
    AND "user" NOT IN (SELECT "user" FROM checked_users WHERE reason IS NULL);

-- The same user, item and moment again: the first row stays. (At another moment it is another interaction.)
UPDATE checked_ratings AS t SET reason = 'duplicate'
FROM (
    SELECT "user", item, timestamp, min(line) AS line FROM checked_ratings
    WHERE reason IS NULL GROUP BY ALL HAVING count(*) > 1
) AS first
WHERE t.reason IS NULL AND t."user" = first."user" AND t.item = first.item
    AND t.timestamp = first.timestamp AND t.line > first.line;

CREATE TABLE checked_truth AS
WITH typed AS (
    SELECT * REPLACE (TRY_CAST(timestamp AS BIGINT) AS timestamp, TRY_CAST(probability AS DOUBLE) AS probability)
    FROM raw_truth
),
joined AS (
    SELECT t.*, r.line IS NOT NULL AS known FROM typed AS t
    LEFT JOIN checked_ratings AS r
    ON r.reason IS NULL AND t."user" = r."user" AND t.item = r.item AND t.timestamp = r.timestamp
)
SELECT * EXCLUDE (known) REPLACE (CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN probability IS NULL OR NOT probability BETWEEN 0 AND 1 THEN 'probability is no number from 0 to 1'
    WHEN NOT known THEN 'no such rating'
    WHEN row_number() OVER (PARTITION BY "user", item, timestamp, reason IS NULL ORDER BY line) > 1
        THEN 'duplicate'
END AS reason)
FROM joined;

CREATE VIEW checked AS
SELECT file, line, reason FROM checked_ratings
UNION ALL SELECT file, line, reason FROM checked_items
UNION ALL SELECT file, line, reason FROM checked_users
UNION ALL SELECT file, line, reason FROM checked_truth
UNION ALL SELECT file, line, reason FROM raw_others;
