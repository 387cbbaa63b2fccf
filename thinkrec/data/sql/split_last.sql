-- Of each user with three interactions or more, the last is test and the one before it valid.
CREATE TABLE kept AS
SELECT * EXCLUDE (place, total), CASE
    WHEN total < 3 OR place > 2 THEN 'train' WHEN place = 1 THEN 'test' ELSE 'valid'
END AS split
FROM (
    SELECT *, row_number() OVER (PARTITION BY user_no ORDER BY timestamp DESC, line DESC) AS place,
        count(*) OVER (PARTITION BY user_no) AS total
    FROM active
);
