-- Eleven fields; the first is the MovieID, the tenth the plot (`N/A` if missing).
CREATE TEMP TABLE plots AS
WITH fields AS (SELECT *, string_split(text, '::') AS field FROM plots_rows)
SELECT
    line,
    CASE
        WHEN contains(text, chr(65533)) THEN 'not UTF-8'
        WHEN len(field) <> 11 THEN 'not 11 fields separated by ::'
    END AS reason,
    field[1] AS item, CASE WHEN field[10] <> 'N/A' THEN field[10] ELSE '' END AS plot
FROM fields;
INSERT INTO raw_others SELECT line, reason FROM plots;
UPDATE raw_items SET description = plot
FROM (SELECT item, arg_min(plot, line) AS plot FROM plots WHERE reason IS NULL GROUP BY item) AS known
WHERE raw_items.item = known.item;
