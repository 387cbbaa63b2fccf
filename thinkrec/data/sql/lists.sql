-- Lists of texts stored as text. The function `listed` (thinkrec/data/listed.py) parses Python's lists and objects with
-- names; JSON lists of plain texts, by far the most common, need no Python.

CREATE MACRO is_plain_list(text) AS starts_with(text, '[') AND NOT contains(text, '{') AND json_valid(text);
CREATE MACRO may_be_list(text) AS regexp_matches(text, '^\s*[\[({]');
-- Parse a list, nested or not, of texts or of objects with names; or else split text at the variable `separator`, or
-- if that is null, at `|` or else at commas.
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
-- Parts as plain text, without placeholders of missing values (MovieLens, pandas and others).
CREATE MACRO plain_parts(list) AS list_filter(
    list_transform(list, lambda part: plain(part)),
    lambda part: part NOT IN ('', '(no genres listed)', 'nan', 'NaN', 'None', 'null', 'NULL')
);
-- Join a list of texts; any other text is unchanged.
CREATE MACRO joined(text) AS CASE
    WHEN is_plain_list(text) THEN array_to_string(parts(text), ' ')
    WHEN may_be_list(text) THEN coalesce(array_to_string(listed(text), ' '), text)
    ELSE text
END;
-- Test whether a text looks like a list of quoted texts, but can't be parsed.
CREATE MACRO no_list(text) AS may_be_list(text) AND regexp_matches(text, '[''"]') AND NOT json_valid(text)
    AND listed(text) IS NULL;
