-- Attributes with value True, `BikeParking` as `Bike Parking`.
CREATE VIEW raw_items AS
SELECT
    line, reason, business_id AS item, plain(name) AS title, '' AS description,
    plain_parts(string_split(coalesce(categories, ''), ',')) AS categories,
    list_transform(
        list_filter(
            json_keys(known),
            lambda name: lower(
                json_extract_string(known, '/' || replace(replace(name, '~', '~0'), '/', '~1'))
            ) = 'true'
        ),
        lambda name: regexp_replace(name, '([a-z0-9])([A-Z])', '\1 \2', 'g')
    ) AS attributes,
    plain(address) AS address,
    plain(city) AS city
FROM (
    SELECT *, CASE
        WHEN starts_with(attributes, '{') AND json_valid(attributes) THEN attributes ELSE '{}'
    END AS known
    FROM items_rows
);
SET VARIABLE lax_items = true;
