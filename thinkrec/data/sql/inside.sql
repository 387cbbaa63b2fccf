-- Usable ratings inside the window, with numbers for users and items.
CREATE TABLE persons AS
SELECT "user", row_number() OVER ()::INTEGER AS user_no
FROM (SELECT DISTINCT "user" FROM rated WHERE reason IS NULL);

CREATE TABLE judged AS
SELECT p.user_no, k.item_no::INTEGER AS item_no, r.rating, r.timestamp, r.line, CASE
    WHEN l.item IS NOT NULL THEN format('its item is in quarantine: {}', l.reason)
    WHEN k.item_no IS NULL THEN 'unknown item'
    WHEN r.timestamp < getvariable('start') OR r.timestamp >= getvariable('stop') THEN 'outside the window'
    WHEN getvariable('lists_users')
        AND r."user" NOT IN (SELECT "user" FROM checked_users WHERE reason IS NULL) THEN 'unknown user'
END AS fate
FROM (SELECT *, rowid + 1 AS line FROM rated WHERE reason IS NULL) AS r
JOIN persons AS p ON r."user" = p."user"
LEFT JOIN known_items AS k ON r.item = k.item
LEFT JOIN lost_items AS l ON r.item = l.item;
DROP TABLE rated;

INSERT INTO dropped
SELECT 'ratings', fate, fate = 'outside the window' OR (fate = 'unknown item' AND getvariable('lax_items')),
    count(*), min(line, getvariable('cap'))
FROM judged WHERE fate IS NOT NULL GROUP BY fate;

CREATE TABLE days AS
SELECT count(item_no) AS ratings_of_known_items,
    strftime(make_timestamp_ns(min(timestamp)), '%Y-%m-%d') AS first_day,
    strftime(make_timestamp_ns(max(timestamp)), '%Y-%m-%d') AS last_day
FROM judged;

CREATE VIEW inside AS SELECT * EXCLUDE (fate) FROM judged WHERE fate IS NULL;

-- Repeated (user, item, timestamp): the first row is kept. (Another timestamp is another interaction.)
-- Few hashes occur twice, so only few rows are compared in full.
CREATE TABLE repeats AS
WITH suspects AS (
    SELECT hash(user_no, item_no, timestamp) AS mark FROM inside
    WHERE getvariable('repeated') = 'drop' GROUP BY mark HAVING count(*) > 1
)
SELECT line FROM (
    SELECT line, row_number() OVER (PARTITION BY user_no, item_no, timestamp ORDER BY line) AS turn
    FROM inside WHERE hash(user_no, item_no, timestamp) IN (FROM suspects)
)
WHERE turn > 1;
INSERT INTO dropped
SELECT 'ratings', 'duplicate', false, count(*), min(line, getvariable('cap')) FROM repeats HAVING count(*) > 0;
