-- The graph that an agent looks up: what an item is, and which items the same users liked.
-- Columns that a source's items lack are null.
CREATE VIEW described AS
SELECT NULL::INTEGER AS item_id, '' AS brand, '' AS city, []::VARCHAR[] AS categories, []::VARCHAR[] AS attributes
WHERE false
UNION ALL BY NAME FROM items;

CREATE MACRO named(relation, list) AS
    list_transform(list, lambda value: {'relation': relation, 'value': trim(folded(value))});

-- The single-valued ones come first, so that long lists do not crowd them out.
CREATE TABLE item_attributes AS
WITH listed AS (
    SELECT item_id, list_concat(
        named('brand', [brand]), named('city', [city]), named('category', categories),
        named('attribute', attributes)
    ) AS pairs
    FROM described
),
placed AS (SELECT item_id, unnest(pairs, max_depth := 2), generate_subscripts(pairs, 1) AS place FROM listed)
SELECT item_id, relation, value FROM placed WHERE value <> '' GROUP BY item_id, relation, value
QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY min(place)) <= 20;

-- Likes of train only: one of valid or test would tell the answer. A user gives pairs of the latest ten of
-- them, so that the cost does not grow with the square of a long time line.
CREATE TABLE item_links AS
WITH latest AS (
    SELECT user_id, item_id FROM interactions WHERE split = 'train' AND label = 1
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY position DESC) <= 10
),
likes AS (SELECT DISTINCT user_id, item_id FROM latest),
pairs AS (
    SELECT a.item_id AS low, b.item_id AS high, count(*)::INTEGER AS users
    FROM likes AS a JOIN likes AS b ON a.user_id = b.user_id AND a.item_id < b.item_id
    GROUP BY ALL HAVING count(*) > 1
),
links AS (
    SELECT low AS item_id, high AS other_id, users FROM pairs
    UNION ALL SELECT high, low, users FROM pairs
)
FROM links QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY users DESC, other_id) <= 10;

CREATE TABLE graph AS
SELECT item_id, relation, value, NULL::INTEGER AS other_id, 1::INTEGER AS weight FROM item_attributes
UNION ALL
SELECT item_id, 'liked_together', NULL, other_id, users FROM item_links;

DROP VIEW described;
ALTER TABLE items DROP COLUMN IF EXISTS city;  -- it goes to the graph alone
