-- What a reader fills from its raw files and all later SQL starts from. Every row of every raw file
-- is in one of these tables (or views), with its line (unique in the file, ascending) and the reason why
-- its structure can't be used (null: it can). Values are checked later, so they may be text as well as
-- numbers. A reader's own SQL makes two:
--   raw_ratings (file, line, text, reason, user, item, rating, timestamp)
--   raw_items (file, line, text, reason, item, title, description, categories, further columns, which go
--              to items.parquet as they are)
-- and may fill these:
CREATE TABLE raw_users (file VARCHAR, line BIGINT, text VARCHAR, reason VARCHAR, "user" VARCHAR);
CREATE TABLE raw_truth (
    file VARCHAR, line BIGINT, text VARCHAR, reason VARCHAR,
    "user" VARCHAR, item VARCHAR, timestamp VARCHAR, probability VARCHAR
);
-- Rows of side files that only adorn items.
CREATE TABLE raw_others (file VARCHAR, line BIGINT, text VARCHAR, reason VARCHAR);
-- A reader with a list of all users sets this to true; then users outside of it are unknown.
SET VARIABLE lists_users = false;

-- Lines of a text file that has LF line ends; the delimiter occurs in none (see rawlines.py).
CREATE MACRO file_lines(path) AS TABLE
SELECT line, text
FROM (
    SELECT row_number() OVER () AS line, text
    FROM read_csv(
        path, columns = {'text': 'VARCHAR'}, delim = E'\x02\x03\x02', quote = '', escape = '',
        header = false, auto_detect = false, strict_mode = false
    )
)
WHERE text IS NOT NULL;
