CREATE VIEW raw_ratings AS
SELECT line, reason, "reviewerID" AS "user", asin AS item, overall AS rating, "unixReviewTime" AS timestamp
FROM ratings_rows;
