-- Amazon's metadata of 2018. Some titles are a page's script, an artifact of the crawler. The first level of
-- the categories is the category itself. A price that is not an amount is dropped.
CREATE VIEW raw_items AS
SELECT line, reason, item, plain(title) AS title, plain(description) AS description,
    plain_parts(categories) AS categories, plain(brand) AS brand,
    CASE WHEN regexp_matches(price, '^\$\d[\d,.]*( - \$\d[\d,.]*)?$') THEN price ELSE '' END AS price
FROM (
    SELECT line,
        CASE WHEN reason IS NOT NULL THEN reason WHEN contains(title, 'getTime') THEN 'title is a page''s script (getTime)' END
            AS reason,
        asin AS item, title, brand, plain(price) AS price,
        CASE WHEN starts_with(description, '[') THEN array_to_string(parts(description), ' ') ELSE description END
            AS description,
        CASE WHEN starts_with(category, '[') THEN parts(category)[2:] ELSE [category] END AS categories
    FROM items_rows
);
SET VARIABLE last_item = true;
SET VARIABLE lax_items = true;
