-- The text of rows that can't be used: looked up now, so that it need not be carried along with every row.
CREATE TABLE faults AS SELECT file, line, reason FROM checked WHERE reason IS NOT NULL;

CREATE TABLE bad AS
WITH raw AS (
    SELECT file, line, text FROM raw_ratings
    UNION ALL SELECT file, line, text FROM raw_items
    UNION ALL SELECT file, line, text FROM raw_users
    UNION ALL SELECT file, line, text FROM raw_truth
    UNION ALL SELECT file, line, text FROM raw_others
)
SELECT f.file, f.line, f.reason, left(r.text, 200) AS text
FROM raw AS r JOIN faults AS f ON r.file = f.file AND r.line = f.line;
