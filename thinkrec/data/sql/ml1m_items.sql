-- MovieID::Title (year)::Genre|Genre
CREATE TABLE raw_items AS
WITH fields AS (SELECT *, string_split(text, '::') AS field FROM items_rows)
SELECT
    line, CASE WHEN len(field) <> 3 THEN 'not 3 fields separated by ::' END AS reason,
    field[1] AS item,
    regexp_replace(field[2], '\s*\(\d{4}\)\s*$', '') AS title,
    '' AS description,
    string_split(field[3], '|') AS categories
FROM fields;
