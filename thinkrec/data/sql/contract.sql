-- What a reader fills from its raw files and all later SQL starts from. Every row of every raw file is in one
-- of these tables or views, with its number in the file (from 1, ascending) and the reason why its structure
-- can't be used (null: it can). Values are checked later, so they may be text as well as numbers. A reader's
-- own SQL makes two:
--   raw_ratings (reason, user, item, rating, timestamp), in the file's order; the timestamp in `unit`
--   raw_items (line, reason, item, title, description, categories, further columns, which go to items.parquet
--              as they are; `city` goes to the graph alone). It is read twice, first the ids, then, when
--              `items_rows` has shrunk to the items that are kept, their texts
-- and may fill these:
CREATE TABLE raw_users (line BIGINT, reason VARCHAR, "user" VARCHAR);
CREATE TABLE raw_truth (
    line BIGINT, reason VARCHAR, "user" VARCHAR, item VARCHAR, timestamp VARCHAR, probability VARCHAR
);
-- What truth.sql finds of them, where the source has any.
CREATE TABLE truth (user_id INTEGER, item_id INTEGER, position INTEGER, probability DOUBLE);
-- Rows of side files that only adorn items.
CREATE TABLE raw_others (line BIGINT, reason VARCHAR);
-- A reader with a list of all users sets this to true; then users outside of it are unknown.
SET VARIABLE lists_users = false;
-- Of several usable rows of an item the last counts, not the first.
SET VARIABLE last_item = false;
-- A rating of an item that no file lists is left out by rule; else it is a fault.
SET VARIABLE lax_items = false;
-- Between the parts of a list that is written as text; null: `|`, or else commas (see lists.sql).
SET VARIABLE separator = NULL::VARCHAR;
-- What is wrong with a rating or a timestamp that could not be read.
SET VARIABLE no_rating = 'rating is no number';
SET VARIABLE no_time = 'timestamp is no number of seconds';
-- Nanoseconds in a unit of the timestamps, and its name; `text` where the reader's SQL reads the moments itself
-- (as nanoseconds, by moment_of). `names_time`: the unit is a parameter that a message may name.
SET VARIABLE unit = 1000000000;
SET VARIABLE units = 'seconds';
SET VARIABLE names_time = false;

-- What becomes of the rows. Kinds: ratings, items, users, truth, plots. `rule`: left out by a rule of the
-- data set rather than for a fault. `lines`: the first of them, in the file's order.
CREATE TABLE given (kind VARCHAR, n BIGINT);
CREATE TABLE dropped (kind VARCHAR, reason VARCHAR, rule BOOLEAN, n BIGINT, lines BIGINT[]);

-- A moment written as text, in nanoseconds; those outside of what nanoseconds can tell as the nearest one.
CREATE MACRO moment_of(text) AS coalesce(
    epoch_ns(TRY_CAST(text AS TIMESTAMPTZ_NS)),
    CASE WHEN isfinite(TRY_CAST(text AS TIMESTAMPTZ))
        THEN CASE WHEN epoch(TRY_CAST(text AS TIMESTAMPTZ)) < 0 THEN 0 ELSE 9223372036854775807 END END
);

-- Lines of a text file that has LF line ends; the delimiter occurs in none (see rawlines.py).
CREATE MACRO file_lines(path) AS TABLE
SELECT line, text
FROM (
    SELECT row_number() OVER () AS line, text
    FROM read_csv(
        path, columns = {'text': 'VARCHAR'}, delim = E'\x02\x03\x02', quote = '', escape = '',
        header = false, auto_detect = false, strict_mode = false,
        hive_partitioning = false
    )
)
WHERE text IS NOT NULL;

-- Text without HTML tags, the commonest entities read, white space folded; steps that nothing needs are left out.
CREATE MACRO without_tags(text) AS
    CASE WHEN contains(text, '<') THEN regexp_replace(text, '</?[A-Za-z!][^>]*>', ' ', 'g') ELSE text END;
CREATE MACRO without_entities(text) AS CASE
    WHEN contains(text, '&') THEN replace(replace(replace(replace(replace(replace(
        text, '&nbsp;', ' '), '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&#39;', ''''), '&amp;', '&')
    ELSE text
END;
CREATE MACRO folded(text) AS regexp_replace(text, '[ \t-\r]{2,}|[\t-\r]', ' ', 'g');
CREATE MACRO plain(text) AS trim(folded(without_tags(without_entities(coalesce(text, '')))));
