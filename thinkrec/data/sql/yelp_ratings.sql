CREATE VIEW raw_ratings AS
SELECT
    reason, user_id AS "user", business_id AS item, stars AS rating,
    moment_of(date) AS timestamp
FROM ratings_rows;
SET TimeZone = 'UTC';
SET VARIABLE unit = 1;
SET VARIABLE units = 'text';
SET VARIABLE no_time = 'date is not a time such as 2012-01-03 15:28:18';
