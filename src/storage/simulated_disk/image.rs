//! What is on a simulated disk: what a reader sees, and what a power cut may leave of it.

use std::collections::BTreeMap;
use std::io;

use fastrand::Rng;

/// The root's node.
const ROOT: usize = 0;

/// Files and folders. Of each file it knows how many bytes are synced, and of each folder which names have changed
/// since it was synced.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// A name refers to a node by its place in here. Nothing is taken out: a power cut can bring names back.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// How many of them a power cut leaves for certain.
    synced: usize,
    /// Whether the system has given up bytes that it could not sync. It goes on showing them.
    has_lost: bool,
}

#[derive(Clone, Debug, Default)]
struct Folder {
    names: BTreeMap<String, usize>,
    /// What each name that has changed since the last sync has stood for, the synced one first.
    changed: BTreeMap<String, Vec<Option<usize>>>,
}

/// What a power cut does to everything that was not synced.
#[derive(Clone, Copy)]
enum Loss {
    All,
    Nothing,
    /// Each name and each file has its own fate.
    Some,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            nodes: vec![Node::Folder(Folder::default())],
        }
    }
}

impl Image {
    pub(super) fn is_folder(&self, path: &str) -> io::Result<bool> {
        Ok(matches!(self.find(path)?, Some(node) if matches!(self.nodes[node], Node::Folder(_))))
    }

    /// The length of a file, and nothing of a folder.
    pub(super) fn length(&self, path: &str) -> io::Result<Option<usize>> {
        match &self.nodes[self.existing(path)?] {
            Node::File(file) => Ok(Some(file.bytes.len())),
            Node::Folder(_) => Ok(None),
        }
    }

    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match &self.nodes[self.existing(path)?] {
            Node::File(file) => Ok(file.bytes.clone()),
            Node::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The names in a folder, each with whether it is a folder's; nothing when it is not there or is a file.
    pub(super) fn list(&self, path: &str) -> io::Result<Option<Vec<(String, bool)>>> {
        let Some(Node::Folder(folder)) = self.find(path)?.map(|node| &self.nodes[node]) else {
            return Ok(None);
        };
        let entry = |(name, node): (&String, &usize)| {
            let is_folder = matches!(self.nodes[*node], Node::Folder(_));
            (name.clone(), is_folder)
        };
        Ok(Some(folder.names.iter().map(entry).collect()))
    }

    /// The names that were in a folder when it was last synced, or since then, and are not any more.
    pub(super) fn ghosts(&self, path: &str) -> Vec<(String, bool)> {
        let found = self.find(path).ok().flatten();
        let Some(Node::Folder(folder)) = found.map(|node| &self.nodes[node]) else {
            return Vec::new();
        };
        let changed = folder.changed.iter();
        let gone = changed.filter(|(name, _)| !folder.names.contains_key(*name));
        gone.filter_map(|(name, versions)| {
            let node = versions.iter().flatten().next()?;
            let is_folder = matches!(self.nodes[*node], Node::Folder(_));
            Some((name.clone(), is_folder))
        })
        .collect()
    }

    /// Makes a folder, unless it is there; whether it was made.
    pub(super) fn make_folder(&mut self, path: &str) -> io::Result<bool> {
        match self.find(path)?.map(|node| &self.nodes[node]) {
            Some(Node::Folder(_)) => Ok(false),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                self.add(path, Node::Folder(Folder::default()))?;
                Ok(true)
            }
        }
    }

    /// Creates an empty file; there must be none.
    pub(super) fn create_file(&mut self, path: &str) -> io::Result<()> {
        match self.find(path)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => self.add(path, Node::File(File::default())),
        }
    }

    pub(super) fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(path)?;
        file.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn sync_file(&mut self, path: &str) -> io::Result<()> {
        let file = self.file(path)?;
        if !file.has_lost {
            file.synced = file.bytes.len();
        }
        Ok(())
    }

    /// The bytes of a file that are not synced yet will never be.
    pub(super) fn lose_unsynced(&mut self, path: &str) {
        if let Ok(file) = self.file(path) {
            file.has_lost |= file.synced < file.bytes.len();
        }
    }

    pub(super) fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        let node = self.existing(path)?;
        self.folder(node)?.changed.clear();
        Ok(())
    }

    /// Takes away the name of a file or of an empty folder.
    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        let node = self.existing(path)?;
        if let Node::Folder(folder) = &self.nodes[node]
            && !folder.names.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.point(path, None)
    }

    /// Gives a file another name; a file that has it already loses it.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let node = self.existing(from)?;
        self.point(to, Some(node))?;
        self.point(from, None)
    }

    /// Takes a name away, with all that lies below it, for good.
    #[cfg(test)]
    pub(super) fn wipe(&mut self, path: &str) -> io::Result<()> {
        self.point(path, None)?;
        self.sync_parent(path)
    }

    /// Moves a file or a folder, for good.
    #[cfg(test)]
    pub(super) fn relocate(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.rename(from, to)?;
        self.sync_parent(from)?;
        self.sync_parent(to)
    }

    #[cfg(test)]
    fn sync_parent(&mut self, path: &str) -> io::Result<()> {
        let (parent, _) = path.rsplit_once('/').unwrap_or_default();
        self.sync_folder(parent)
    }

    /// How many bytes all files have together that can be reached.
    pub(super) fn used(&self) -> usize {
        let mut used = 0;
        self.walk(ROOT, "", &mut |_, node| {
            if let Node::File(file) = node {
                used += file.bytes.len();
            }
        });
        used
    }

    /// The paths of all files, and of all folders with a slash at the end, in order.
    #[cfg(test)]
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk(ROOT, "", &mut |path, node| match node {
            Node::File(_) => paths.push(path.to_owned()),
            Node::Folder(_) => paths.push(format!("{path}/")),
        });
        paths.sort();
        paths
    }

    /// Whether a power cut leaves a file as it is, with its name and the folders above it.
    #[cfg(test)]
    pub(super) fn is_durable(&self, path: &str) -> bool {
        let mut found = ROOT;
        for name in path.split('/') {
            let Node::Folder(folder) = &self.nodes[found] else {
                return false;
            };
            match folder.names.get(name) {
                Some(node) if !folder.changed.contains_key(name) => found = *node,
                _ => return false,
            }
        }
        matches!(&self.nodes[found], Node::File(file) if file.synced == file.bytes.len())
    }

    /// What a power cut leaves. All of it is on the disk, so a second one would take nothing more.
    pub(super) fn after_power_cut(&self, rng: &mut Rng) -> Self {
        let losses = [Loss::All, Loss::Nothing, Loss::Some, Loss::Some];
        let loss = losses[rng.usize(0..losses.len())];
        let nodes = self.nodes.iter().map(|node| match node {
            Node::File(file) => Node::File(file.after_power_cut(loss, rng)),
            Node::Folder(folder) => Node::Folder(folder.after_power_cut(loss, rng)),
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    fn walk(&self, node: usize, path: &str, visit: &mut impl FnMut(&str, &Node)) {
        let Node::Folder(folder) = &self.nodes[node] else {
            return;
        };
        for (name, child) in &folder.names {
            let path = match path {
                "" => name.clone(),
                path => format!("{path}/{name}"),
            };
            visit(&path, &self.nodes[*child]);
            self.walk(*child, &path, visit);
        }
    }

    /// The node at a path, if there is one.
    fn find(&self, path: &str) -> io::Result<Option<usize>> {
        let mut found = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Node::Folder(folder) = &self.nodes[found] else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            match folder.names.get(name) {
                Some(node) => found = *node,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    fn existing(&self, path: &str) -> io::Result<usize> {
        let found = self.find(path)?;
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, path: &str) -> io::Result<&mut File> {
        let node = self.existing(path)?;
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn folder(&mut self, node: usize) -> io::Result<&mut Folder> {
        match &mut self.nodes[node] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<()> {
        self.nodes.push(node);
        self.point(path, Some(self.nodes.len() - 1))
    }

    /// Lets a name stand for a node, or for none.
    fn point(&mut self, path: &str, node: Option<usize>) -> io::Result<()> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.existing(parent)?;
        let folder = self.folder(parent)?;
        let before = match node {
            Some(node) => folder.names.insert(name.to_owned(), node),
            None => folder.names.remove(name),
        };
        let versions = folder.changed.entry(name.to_owned());
        versions.or_insert_with(|| vec![before]).push(node);
        Ok(())
    }
}

impl File {
    fn after_power_cut(&self, loss: Loss, rng: &mut Rng) -> Self {
        let length = self.bytes.len();
        let kept = match loss {
            Loss::All => self.synced,
            Loss::Nothing if !self.has_lost => length,
            // With the length on the disk but not the bytes, they read as zeros.
            Loss::Some | Loss::Nothing => rng.usize(self.synced..=length),
        };
        let mut bytes = self.bytes[..kept].to_vec();
        if matches!(loss, Loss::Some) && rng.bool() {
            bytes.resize(length, 0);
        }
        Self {
            synced: bytes.len(),
            bytes,
            has_lost: false,
        }
    }
}

impl Folder {
    fn after_power_cut(&self, loss: Loss, rng: &mut Rng) -> Self {
        let mut names = self.names.clone();
        for (name, versions) in &self.changed {
            let last = versions.len() - 1;
            let version = match loss {
                Loss::All => 0,
                Loss::Nothing => last,
                Loss::Some => rng.usize(0..=last),
            };
            match versions[version] {
                Some(node) => names.insert(name.clone(), node),
                None => names.remove(name),
            };
        }
        Self {
            names,
            changed: BTreeMap::new(),
        }
    }
}
