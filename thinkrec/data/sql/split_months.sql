-- Calendar months (UTC) counted from the first month of the usable ratings.
CREATE TABLE ranges AS
SELECT unnest(getvariable('splits')) AS split,
    unnest(getvariable('starts')) AS start, unnest(getvariable('stops')) AS stop;

CREATE TABLE kept AS
SELECT a.*, r.split FROM active AS a JOIN ranges AS r ON a.timestamp >= r.start AND a.timestamp < r.stop;

INSERT INTO dropped
SELECT 'ratings', 'in a month between the splits', true, count(*), min(line, getvariable('cap'))
FROM active ANTI JOIN kept USING (line) HAVING count(*) > 0;
