-- UserID::MovieID::Rating::Timestamp
CREATE VIEW raw_ratings AS
WITH fields AS (SELECT *, string_split(text, '::') AS field FROM ratings_rows)
SELECT
    CASE WHEN len(field) <> 4 THEN 'not 4 fields separated by ::' END AS reason,
    field[1] AS "user", field[2] AS item, field[3] AS rating, field[4] AS timestamp
FROM fields;
