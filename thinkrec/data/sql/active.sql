-- Filter users and items with more than `more_than` interactions, both counted once, before filtering.
CREATE VIEW single AS FROM inside ANTI JOIN repeats USING (line);
CREATE TABLE busy_users AS SELECT user_no FROM single GROUP BY user_no HAVING count(*) > getvariable('more_than');
CREATE TABLE busy_items AS SELECT item_no FROM single GROUP BY item_no HAVING count(*) > getvariable('more_than');

INSERT INTO dropped
SELECT 'ratings', fate, true, count(*), min(line, getvariable('cap'))
FROM (
    SELECT s.line, CASE
        WHEN u.user_no IS NULL THEN format('user with {} interactions or fewer', getvariable('more_than'))
        WHEN i.item_no IS NULL THEN format('item with {} interactions or fewer', getvariable('more_than'))
    END AS fate
    FROM single AS s
    LEFT JOIN busy_users AS u ON s.user_no = u.user_no
    LEFT JOIN busy_items AS i ON s.item_no = i.item_no
    WHERE getvariable('more_than') > 0
)
WHERE fate IS NOT NULL GROUP BY fate;

CREATE TABLE active AS FROM single SEMI JOIN busy_users USING (user_no) SEMI JOIN busy_items USING (item_no);
DROP VIEW single;
DROP VIEW inside;
DROP TABLE judged;
DROP TABLE busy_users;
DROP TABLE busy_items;
