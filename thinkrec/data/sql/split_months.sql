-- Calendar months (UTC) counted from the first month of the usable ratings.
CREATE TABLE kept AS
WITH ranges AS (
    SELECT unnest(getvariable('splits')) AS split,
        unnest(getvariable('starts')) AS start, unnest(getvariable('stops')) AS stop
)
SELECT a.*, r.split FROM active AS a JOIN ranges AS r ON a.timestamp >= r.start AND a.timestamp < r.stop;
