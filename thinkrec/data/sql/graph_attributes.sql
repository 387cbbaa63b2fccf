-- Attributes of a chunk of items, to bound memory.
-- Single-valued attributes come first, so that long lists do not crowd them out.
INSERT INTO item_attributes
WITH listed AS (
    SELECT item_id, list_concat(
        named('brand', [brand]), named('city', [city]), named('category', categories),
        named('attribute', attributes)
    ) AS pairs
    FROM described WHERE item_id BETWEEN getvariable('low') AND getvariable('high')
),
placed AS (SELECT item_id, unnest(pairs, max_depth := 2), generate_subscripts(pairs, 1) AS place FROM listed)
SELECT item_id, relation, value FROM placed WHERE value <> '' GROUP BY item_id, relation, value
QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY min(place)) <= 20;
