-- One order over all users' rows; the last of them are held out, first valid, then test. The order is time,
-- ties as in the file; or chance, drawn from the row's number and a seed (by MD5, so that it is the same in
-- every version of DuckDB). Rows before `held_from` all train.
CREATE TABLE held AS
WITH keyed AS (
    SELECT line, CASE
        WHEN getvariable('seed') IS NULL THEN timestamp::UBIGINT
        ELSE md5_number_lower(format('{}:{}', getvariable('seed'), line))
    END AS key
    FROM active WHERE timestamp >= getvariable('held_from')
),
placed AS (
    SELECT line, row_number() OVER (ORDER BY key, line) AS place,
        round(count(*) OVER () * getvariable('held_share'))::BIGINT AS held, count(*) OVER () AS total
    FROM keyed
)
SELECT line, CASE
    WHEN place <= total - held + floor(held * getvariable('valid_part')) THEN 'valid' ELSE 'test'
END AS split
FROM placed WHERE place > total - held;

CREATE TABLE kept AS SELECT a.*, coalesce(h.split, 'train') AS split FROM active AS a LEFT JOIN held AS h USING (line);
DROP TABLE held;
