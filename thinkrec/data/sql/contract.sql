-- Interface between readers and later SQL. Every row of every raw file is in one of these tables or views, with
-- its row number in the file (from 1, ascending) and the reason why it can't be parsed (null: it can). Values are
-- checked later, so they may be text or numbers. A reader's SQL must create
--   raw_ratings (reason, user, item, rating, timestamp), in file order; the timestamp in `unit`
--   raw_items (line, reason, item, title, description, categories, further columns, which go to items.parquet
--              unchanged; `city` goes to the graph only). It is read twice: first the ids, then the texts, once
--              `items_rows` is reduced to the kept items
-- and may fill these:
CREATE TABLE raw_users (line BIGINT, reason VARCHAR, "user" VARCHAR);
CREATE TABLE raw_truth (
    line BIGINT, reason VARCHAR, "user" VARCHAR, item VARCHAR, timestamp VARCHAR, probability VARCHAR
);
-- Filled by truth.sql.
CREATE TABLE truth (user_id INTEGER, item_id INTEGER, position INTEGER, probability DOUBLE);
-- Rows of files with additional item data.
CREATE TABLE raw_others (line BIGINT, reason VARCHAR);
-- Set to true by a reader with a list of all users; users not listed are then unknown.
SET VARIABLE lists_users = false;
-- Of several usable rows of an item, use the last, not the first.
SET VARIABLE last_item = false;
-- Ratings of unlisted items are left out by rule, rather than quarantined.
SET VARIABLE lax_items = false;
-- Separator of lists in text; null: `|`, or else comma (see lists.sql).
SET VARIABLE separator = NULL::VARCHAR;
-- Reasons for an invalid rating or timestamp.
SET VARIABLE no_rating = 'rating is not a number';
SET VARIABLE no_time = 'timestamp is not a number of seconds';
-- Nanoseconds per unit of the timestamps, and its name; `text` if the reader's SQL parses timestamps itself
-- (to nanoseconds, by moment_of). `names_time`: the unit is a parameter, which messages name.
SET VARIABLE unit = 1000000000;
SET VARIABLE units = 'seconds';
SET VARIABLE names_time = false;

-- Row counts by outcome. Kinds: ratings, items, users, truth, plots. `rule`: left out by a rule of the data set
-- rather than quarantined. `lines`: the first of them, in file order.
CREATE TABLE given (kind VARCHAR, n BIGINT);
CREATE TABLE dropped (kind VARCHAR, reason VARCHAR, rule BOOLEAN, n BIGINT, lines BIGINT[]);

-- Parse a timestamp to nanoseconds, clipped to the range of int64.
CREATE MACRO moment_of(text) AS coalesce(
    epoch_ns(TRY_CAST(text AS TIMESTAMPTZ_NS)),
    CASE WHEN isfinite(TRY_CAST(text AS TIMESTAMPTZ))
        THEN CASE WHEN epoch(TRY_CAST(text AS TIMESTAMPTZ)) < 0 THEN 0 ELSE 9223372036854775807 END END
);

-- Lines of a text file with LF line ends; the delimiter never occurs (see rawlines.py).
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

-- Strip HTML tags, decode common entities, collapse white space; each step is skipped where it has no effect.
CREATE MACRO without_tags(text) AS
    CASE WHEN contains(text, '<') THEN regexp_replace(text, '</?[A-Za-z!][^>]*>', ' ', 'g') ELSE text END;
CREATE MACRO without_entities(text) AS CASE
    WHEN contains(text, '&') THEN replace(replace(replace(replace(replace(replace(
        text, '&nbsp;', ' '), '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&#39;', ''''), '&amp;', '&')
    ELSE text
END;
CREATE MACRO folded(text) AS regexp_replace(text, '[ \t-\r]{2,}|[\t-\r]', ' ', 'g');
CREATE MACRO plain(text) AS trim(folded(without_tags(without_entities(coalesce(text, '')))));
