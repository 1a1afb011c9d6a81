"""The information classes of QUERY_INFO and SET_INFO."""
