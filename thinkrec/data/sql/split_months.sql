-- Calendar months (UTC) counted from the first month of the usable ratings; rows in none of them are left out.
CREATE TABLE windows AS
WITH origin AS (
    SELECT date_trunc('month', make_timestamp(min(timestamp) * 1000000)) AS month
    FROM checked_ratings WHERE reason IS NULL
),
ranges AS (
    SELECT unnest(getvariable('splits')) AS split,
        unnest(getvariable('first')) AS first, unnest(getvariable('last')) AS last
)
SELECT
    split,
    epoch(month + to_months(first))::BIGINT AS start,
    epoch(month + to_months(last + 1))::BIGINT AS stop
FROM ranges, origin;

CREATE TABLE kept AS
SELECT r."user", r.item, r.rating, r.timestamp, r.line, w.split
FROM checked_ratings AS r JOIN windows AS w ON r.timestamp >= w.start AND r.timestamp < w.stop
WHERE r.reason IS NULL;
