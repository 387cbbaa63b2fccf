-- The agent's graph: attributes of items, and items liked by the same users.
-- Columns that a source's items lack are null.
CREATE VIEW described AS
SELECT NULL::INTEGER AS item_id, '' AS brand, '' AS city, []::VARCHAR[] AS categories, []::VARCHAR[] AS attributes
WHERE false
UNION ALL BY NAME FROM items;

CREATE MACRO named(relation, list) AS
    list_transform(list, lambda value: {'relation': relation, 'value': trim(folded(value))});

CREATE TABLE item_attributes (item_id INTEGER, relation VARCHAR, value VARCHAR);
