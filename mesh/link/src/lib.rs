//! What is spoken on a link: the meet protocol and the drop format.
