-- Users and items with at least `min_interactions` interactions: both are counted once, on the same rows.
CREATE VIEW single AS FROM inside ANTI JOIN repeats USING (line);
CREATE TABLE busy_users AS SELECT user_no FROM single GROUP BY user_no HAVING count(*) >= getvariable('min_interactions');
CREATE TABLE busy_items AS SELECT item_no FROM single GROUP BY item_no HAVING count(*) >= getvariable('min_interactions');

INSERT INTO dropped
SELECT 'ratings', fate, true, count(*), min(line, getvariable('cap'))
FROM (
    SELECT s.line, CASE
        WHEN u.user_no IS NULL THEN format('user with fewer than {} interactions', getvariable('min_interactions'))
        WHEN i.item_no IS NULL THEN format('item with fewer than {} interactions', getvariable('min_interactions'))
    END AS fate
    FROM single AS s
    LEFT JOIN busy_users AS u ON s.user_no = u.user_no
    LEFT JOIN busy_items AS i ON s.item_no = i.item_no
    WHERE getvariable('min_interactions') > 1
)
WHERE fate IS NOT NULL GROUP BY fate;

CREATE TABLE active AS FROM single SEMI JOIN busy_users USING (user_no) SEMI JOIN busy_items USING (item_no);
DROP VIEW single;
DROP VIEW inside;
DROP TABLE judged;
DROP TABLE busy_users;
DROP TABLE busy_items;
