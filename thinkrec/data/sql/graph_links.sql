-- Co-likes in train only: those of valid or test would leak labels. Only each user's latest ten likes form pairs,
-- so that the cost is not quadratic in a user's likes.
-- Steps run one after the other, so that each may use all memory.
CREATE TABLE latest AS
SELECT user_id, item_id FROM interactions WHERE split = 'train' AND label = 1
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY position DESC) <= 10;

CREATE TABLE likes AS SELECT DISTINCT user_id, item_id FROM latest;
DROP TABLE latest;

CREATE TABLE pairs AS
SELECT a.item_id AS low, b.item_id AS high, count(*)::INTEGER AS users
FROM likes AS a JOIN likes AS b ON a.user_id = b.user_id AND a.item_id < b.item_id
GROUP BY ALL HAVING count(*) > 1;
DROP TABLE likes;

CREATE TABLE item_links AS
WITH links AS (
    SELECT low AS item_id, high AS other_id, users FROM pairs
    UNION ALL SELECT high, low, users FROM pairs
)
FROM links QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY users DESC, other_id) <= 10;
DROP TABLE pairs;

CREATE TABLE graph AS
SELECT item_id, relation, value, NULL::INTEGER AS other_id, 1::INTEGER AS weight FROM item_attributes
UNION ALL
SELECT item_id, 'liked_together', NULL, other_id, users FROM item_links;

DROP VIEW described;
ALTER TABLE items DROP COLUMN IF EXISTS city;  -- only for the graph
