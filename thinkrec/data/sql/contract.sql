-- What a reader fills from its raw files and all later SQL starts from. Every row of every raw file is in one
-- of these tables or views, with its number in the file (from 1, ascending) and the reason why its structure
-- can't be used (null: it can). Values are checked later, so they may be text as well as numbers. A reader's
-- own SQL makes two:
--   raw_ratings (reason, user, item, rating, timestamp), in the file's order
--   raw_items (line, reason, item, title, description, categories, further columns, which go to items.parquet
--              as they are; `city` goes to the graph alone). It is read twice, first the ids, then, when
--              `items_rows` has shrunk to the items that are kept, their texts
-- and may fill these:
CREATE TABLE raw_users (line BIGINT, reason VARCHAR, "user" VARCHAR);
CREATE TABLE raw_truth (
    line BIGINT, reason VARCHAR, "user" VARCHAR, item VARCHAR, timestamp VARCHAR, probability VARCHAR
);
-- Rows of side files that only adorn items.
CREATE TABLE raw_others (line BIGINT, reason VARCHAR);
-- A reader with a list of all users sets this to true; then users outside of it are unknown.
SET VARIABLE lists_users = false;
-- Of several usable rows of an item the last counts, not the first.
SET VARIABLE last_item = false;
-- A rating of an item that no file lists is left out by rule; else it is a fault.
SET VARIABLE lax_items = false;
-- What is wrong with a rating or a timestamp that could not be read.
SET VARIABLE no_rating = 'rating is no number';
SET VARIABLE no_time = 'timestamp is no number of seconds';

-- What becomes of the rows. Kinds: ratings, items, users, truth, plots. `rule`: left out by a rule of the
-- data set rather than for a fault. `lines`: the first of them, in the file's order.
CREATE TABLE given (kind VARCHAR, n BIGINT);
CREATE TABLE dropped (kind VARCHAR, reason VARCHAR, rule BOOLEAN, n BIGINT, lines BIGINT[]);

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
-- A list of texts: a JSON list, nested or not, or text with `|` or else commas between its parts.
CREATE MACRO parts(text) AS CASE
    WHEN text IS NULL THEN []::VARCHAR[]
    WHEN starts_with(text, '[[') AND json_valid(text) THEN flatten(from_json(text, '[["VARCHAR"]]'))
    WHEN starts_with(text, '[') AND json_valid(text) THEN from_json(text, '["VARCHAR"]')
    WHEN contains(text, '|') THEN string_split(text, '|')
    ELSE string_split(text, ',')
END;
-- Its parts as plain text, empty ones left out.
CREATE MACRO plain_parts(list) AS list_filter(list_transform(list, lambda part: plain(part)), lambda part: part <> '');
