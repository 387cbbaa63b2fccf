-- One time line over all users, ties in the file's order: its last share is held out and cut in half.
CREATE TABLE kept AS
WITH ordered AS (
    SELECT "user", item, rating, timestamp, line,
        row_number() OVER (ORDER BY timestamp, line) AS place, count(*) OVER () AS total
    FROM checked_ratings WHERE reason IS NULL
),
sized AS (SELECT *, round(total * getvariable('held_out'))::BIGINT AS held FROM ordered)
SELECT "user", item, rating, timestamp, line,
    CASE
        WHEN place <= total - held THEN 'train'
        WHEN place <= total - held + held // 2 THEN 'valid'
        ELSE 'test'
    END AS split
FROM sized;
