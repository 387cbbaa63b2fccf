CREATE VIEW raw_ratings AS
SELECT
    reason, user_id AS "user", business_id AS item, stars AS rating,
    floor(epoch(TRY_CAST(date AS TIMESTAMP))) AS timestamp
FROM ratings_rows;
SET VARIABLE no_time = 'date is no moment such as 2012-01-03 15:28:18';
