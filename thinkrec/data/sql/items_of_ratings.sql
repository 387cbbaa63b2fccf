-- Without an items file, items are those of the usable ratings, titled by their ids.
INSERT INTO known_items
SELECT item, row_number() OVER () FROM (SELECT DISTINCT item FROM rated WHERE reason IS NULL);
INSERT INTO raw_items SELECT item_no, NULL, item, item, '', [] FROM known_items;
