-- Lists of texts that a table holds as text. The function `listed` (thinkrec/data/listed.py) reads what Python writes,
-- and objects with names; lists of plain texts in JSON, by far the most, need no Python.

CREATE MACRO is_plain_list(text) AS starts_with(text, '[') AND NOT contains(text, '{') AND json_valid(text);
CREATE MACRO may_be_list(text) AS regexp_matches(text, '^\s*[\[({]');
-- A list, nested or not, of texts or of objects with names; or else text with the variable `separator` between its
-- parts; where that is null, with `|`, or else with commas.
CREATE MACRO split_parts(text) AS CASE
    WHEN getvariable('separator') IS NOT NULL THEN string_split(text, getvariable('separator'))
    WHEN contains(text, '|') THEN string_split(text, '|')
    ELSE string_split(text, ',')
END;
CREATE MACRO parts(text) AS CASE
    WHEN text IS NULL THEN []::VARCHAR[]
    WHEN starts_with(text, '[[') AND is_plain_list(text) THEN flatten(from_json(text, '[["VARCHAR"]]'))
    WHEN is_plain_list(text) THEN from_json(text, '["VARCHAR"]')
    WHEN may_be_list(text) THEN coalesce(listed(text), split_parts(text))
    ELSE split_parts(text)
END;
-- Its parts as plain text; left out is what stands where there is none (MovieLens, pandas and others).
CREATE MACRO plain_parts(list) AS list_filter(
    list_transform(list, lambda part: plain(part)),
    lambda part: part NOT IN ('', '(no genres listed)', 'nan', 'NaN', 'None', 'null', 'NULL')
);
-- One text of a list of texts; any other text as it is.
CREATE MACRO joined(text) AS CASE
    WHEN is_plain_list(text) THEN array_to_string(parts(text), ' ')
    WHEN may_be_list(text) THEN coalesce(array_to_string(listed(text), ' '), text)
    ELSE text
END;
-- What begins as a list of texts in quotes, but can't be read as one.
CREATE MACRO no_list(text) AS may_be_list(text) AND regexp_matches(text, '[''"]') AND NOT json_valid(text)
    AND listed(text) IS NULL;
