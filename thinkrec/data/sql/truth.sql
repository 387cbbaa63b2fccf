-- True like probabilities of the interactions, if the (generated) source has them.
CREATE TABLE checked_truth AS
WITH typed AS (
    SELECT * REPLACE (CASE WHEN TRY_CAST(timestamp AS DECIMAL(38, 9)) BETWEEN 0 AND 4102444800
        THEN (TRY_CAST(timestamp AS DECIMAL(38, 9)) * 1000000000)::BIGINT END AS timestamp, TRY_CAST(probability AS DOUBLE) AS probability)
    FROM raw_truth
),
joined AS (
    SELECT t.*, x.user_id, x.item_id, x.position
    FROM typed AS t
    LEFT JOIN user_ids AS u ON t."user" = u.raw_id
    LEFT JOIN item_ids AS i ON t.item = i.raw_id
    LEFT JOIN (
        SELECT user_id, item_id, timestamp, min(position) AS position
        FROM interactions WHERE user_id IN (
            SELECT user_id FROM user_ids SEMI JOIN typed ON raw_id = typed."user"
        )
        GROUP BY ALL
    ) AS x
    ON x.user_id = u.user_id AND x.item_id = i.item_id AND x.timestamp = t.timestamp
),
-- Valid ratings that are in no table were left out by a rule of the data set.
sound AS (
    SELECT DISTINCT "user", item, (TRY_CAST(timestamp AS DECIMAL(38, 9)) * 1000000000)::BIGINT AS timestamp
    FROM raw_ratings SEMI JOIN known_items USING (item)
    WHERE reason IS NULL AND TRY_CAST(timestamp AS DECIMAL(38, 9)) BETWEEN 0 AND 4102444800
        AND TRY_CAST(rating AS DOUBLE) BETWEEN getvariable('lowest') AND getvariable('highest')
        AND (
            NOT getvariable('lists_users')
            OR "user" IN (SELECT "user" FROM checked_users WHERE reason IS NULL)
        )
)
SELECT * REPLACE (CASE
    WHEN reason IS NOT NULL THEN reason
    WHEN probability IS NULL OR NOT probability BETWEEN 0 AND 1 THEN 'probability is not between 0 and 1'
    WHEN position IS NULL AND (j."user", j.item, j.timestamp) IN (FROM sound)
        THEN 'true probability of a rating that is left out'
    WHEN position IS NULL THEN 'no such rating'
    WHEN row_number() OVER (PARTITION BY "user", item, timestamp, reason IS NULL ORDER BY line) > 1
        THEN 'duplicate'
END AS reason)
FROM joined AS j;

INSERT INTO given SELECT 'truth', count(*) FROM checked_truth HAVING count(*) > 0;
INSERT INTO dropped
SELECT 'truth', reason, reason = 'true probability of a rating that is left out', count(*), min(line, getvariable('cap'))
FROM checked_truth WHERE reason IS NOT NULL GROUP BY reason;

INSERT INTO truth
SELECT user_id, item_id, position, probability FROM checked_truth WHERE reason IS NULL;
