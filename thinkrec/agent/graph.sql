-- Escape glob characters in a path.
CREATE TEMP MACRO literal(path) AS regexp_replace(path, '[*?\[]', '[\0]', 'g');

-- Attributes of items as numbered names, and items liked together. Keywords count as attributes.
CREATE TEMP TABLE named AS
SELECT item_id, relation || ': ' || value AS name
FROM read_parquet(literal(getvariable('graph')), hive_partitioning = false)
WHERE other_id IS NULL
UNION
SELECT item_id, 'keyword: ' || unnest(keywords) AS name
FROM read_parquet(literal(getvariable('keywords')), hive_partitioning = false);

CREATE TEMP TABLE names AS
SELECT name, row_number() OVER (ORDER BY name) - 1 AS code
FROM (SELECT DISTINCT name FROM named);

CREATE TEMP TABLE attributes AS
SELECT item_id, code AS value, code AS place FROM named JOIN names USING (name);

CREATE TEMP TABLE related AS
SELECT item_id, other_id AS value, row_number() OVER (PARTITION BY item_id ORDER BY weight DESC, other_id) AS place
FROM read_parquet(literal(getvariable('graph')), hive_partitioning = false)
WHERE relation = 'liked_together';
