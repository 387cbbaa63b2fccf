-- Lists of texts that a table holds as text: as JSON, as Python or numpy prints them, or with a sign between.

-- The texts of a list as Python prints it (numpy without commas).
CREATE MACRO python_texts(text) AS list_transform(
    regexp_extract_all(text, $re$'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"$re$),
    lambda part: replace(replace(replace(part[2:-2], $s$\'$s$, $s$'$s$), $s$\"$s$, $s$"$s$), $s$\n$s$, ' ')
);
CREATE MACRO is_python_list(text) AS ends_with(text, ']') AND regexp_full_match(
    text, $re$\[\s*(?:(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*(?:,\s*|\s|\]))*\]?$re$
) AND (contains(text, $s$'$s$) OR contains(text, '"') OR regexp_full_match(text, '\[\s*(?:nan|None)?\s*\]'));
-- A list of objects with names, such as [{'id': 28, 'name': 'Action'}].
CREATE MACRO is_python_objects(text) AS regexp_full_match(
    text, $re$(?s)\[\s*\{.*['"]name['"]\s*:\s*['"].*\}\s*,?\s*\]$re$
);
CREATE MACRO python_names(text) AS flatten(list_transform(
    regexp_extract_all(text, $re$['"]name['"]\s*:\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")$re$),
    lambda pair: python_texts(pair)[2:]
));
-- The name of an object such as {"id": 28, "name": "Action"}; other parts as they are.
CREATE MACRO name_of(part) AS CASE
    WHEN starts_with(part, '{') AND json_valid(part) THEN coalesce(json_extract_string(part, '$.name'), part)
    ELSE part
END;
-- Text in brackets that is no list after all.
CREATE MACRO no_list(text) AS starts_with(text, '[') AND ends_with(text, ']')
    AND NOT json_valid(text) AND NOT is_python_list(text) AND NOT is_python_objects(text);
-- A list, nested or not, of texts or of objects with names; or else text with the variable `separator` between its
-- parts; where that is null, with `|`, or else with commas.
CREATE MACRO parts(text) AS CASE
    WHEN text IS NULL THEN []::VARCHAR[]
    WHEN starts_with(text, '[[') AND json_valid(text) THEN flatten(from_json(text, '[["VARCHAR"]]'))
    WHEN starts_with(text, '[') AND json_valid(text)
        THEN list_transform(from_json(text, '["VARCHAR"]'), lambda part: name_of(part))
    WHEN starts_with(text, '[') AND is_python_list(text) THEN python_texts(text)
    WHEN starts_with(text, '[') AND is_python_objects(text) THEN python_names(text)
    WHEN getvariable('separator') IS NOT NULL THEN string_split(text, getvariable('separator'))
    WHEN contains(text, '|') THEN string_split(text, '|')
    ELSE string_split(text, ',')
END;
-- Its parts as plain text; empty ones are left out, and what MovieLens writes where there is none.
CREATE MACRO plain_parts(list) AS list_filter(
    list_transform(list, lambda part: plain(part)), lambda part: part NOT IN ('', '(no genres listed)')
);
-- One text of a list of texts; any other text as it is.
CREATE MACRO joined(text) AS CASE
    WHEN starts_with(text, '[') AND (json_valid(text) OR is_python_list(text)) THEN array_to_string(parts(text), ' ')
    ELSE text
END;
