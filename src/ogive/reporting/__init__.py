"""The page of a search: pictures, charts and one self-contained HTML file that is made from run folders alone."""
