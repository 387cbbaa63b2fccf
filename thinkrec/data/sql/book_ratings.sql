CREATE VIEW raw_ratings AS
SELECT reason, "reviewerID" AS "user", asin AS item, overall AS rating, "unixReviewTime" AS timestamp
FROM ratings_rows;
