-- All ratings with numeric values, and the reason why a row can't be used. DuckDB preserves the order of the file,
-- so that rowid is the row number; numbering rows while reading would disable its threads.
-- Timestamps are in nanoseconds from here on, at the source's precision. They must lie from 1990 to 2099 (no rating
-- on the web is older); these ranges do not overlap between units, so that a wrong unit is detected.
CREATE MACRO whole_units(text, number) AS
    CASE WHEN abs(number) < 9e15 THEN floor(number)::BIGINT WHEN number IS NOT NULL THEN TRY_CAST(text AS BIGINT) END;
CREATE MACRO in_span(units, per_second) AS
    units >= 631152000::BIGINT * per_second AND units < 4102444800::BIGINT * per_second;
CREATE MACRO right_unit(units) AS CASE
    WHEN in_span(units, 1) THEN 'seconds'
    WHEN in_span(units, 1000) THEN 'milliseconds'
    WHEN in_span(units, 1000000) THEN 'microseconds'
    WHEN in_span(units, 1000000000) THEN 'nanoseconds'
END;

CREATE TABLE rated AS
WITH typed AS (
    SELECT reason, "user", item, TRY_CAST(rating AS DOUBLE) AS rating,
        timestamp AS given, TRY_CAST(timestamp AS DOUBLE) AS number, whole_units(timestamp, number) AS units
    FROM raw_ratings
),
judged AS (
    SELECT * REPLACE (CASE
        WHEN reason IS NOT NULL THEN reason
        WHEN coalesce("user", '') = '' THEN 'empty user id'
        WHEN coalesce(item, '') = '' THEN 'empty item id'
        WHEN rating IS NULL OR isnan(rating) THEN getvariable('no_rating')
        WHEN rating NOT BETWEEN getvariable('lowest') AND getvariable('highest')
            THEN format('rating outside {} to {}', getvariable('lowest'), getvariable('highest'))
        WHEN NOT rating BETWEEN -3.4e38 AND 3.4e38 THEN 'rating is not finite'
        WHEN units IS NULL THEN getvariable('no_time')
        WHEN in_span(units, 1000000000 // getvariable('unit')) THEN NULL
        WHEN right_unit(units) IS NOT NULL AND getvariable('units') <> 'text'
            THEN format('timestamp in {}, not {}', right_unit(units), getvariable('units'))
                || CASE WHEN getvariable('names_time') THEN format(': write `time: {}`', right_unit(units)) ELSE '' END
        WHEN units < 631152000::BIGINT * (1000000000 // getvariable('unit')) THEN 'timestamp before 1990'
        ELSE 'timestamp after 2099'
    END AS reason)
    FROM typed
)
SELECT reason, "user", item, rating,
    CASE WHEN reason IS NULL THEN units * getvariable('unit') + CASE
        WHEN number = floor(number) THEN 0
        ELSE coalesce(floor((TRY_CAST(given AS DECIMAL(38, 9)) - units) * getvariable('unit'))::BIGINT, 0)
    END END AS timestamp
FROM judged;
INSERT INTO given SELECT 'ratings', count(*) FROM rated;
INSERT INTO dropped
SELECT 'ratings', reason, false, count(*), min(rowid + 1, getvariable('cap'))
FROM rated WHERE reason IS NOT NULL GROUP BY reason;
